"""What a verb does: the settings of a job and its run(config, rundir)."""
