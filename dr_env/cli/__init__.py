"""The command `dr-env`, one file a subcommand."""
