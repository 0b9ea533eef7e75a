"""Who hides what, one file each; the file's name is the name of the masker."""
