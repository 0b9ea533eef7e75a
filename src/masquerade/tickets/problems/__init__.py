"""What is evolved or trained, one file each; the file's name is the problem's name."""
