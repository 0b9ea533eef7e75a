"""Which branches meet and how they are compared, one file each."""
