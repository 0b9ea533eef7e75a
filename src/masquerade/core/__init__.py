"""What every floor stands on: seeds, settings, plug-ins, run folders, errors."""
