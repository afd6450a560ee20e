"""The second room of the prefix cache: blocks in files, which outlive the process."""
