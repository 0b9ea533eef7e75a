"""`python -m masquerade` is the `masquerade` command."""

from masquerade.cli.main import main

if __name__ == "__main__":
    main()
