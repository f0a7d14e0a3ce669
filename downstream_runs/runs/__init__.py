"""What one does with runs that there are: status, logs, cancel, clean, verify, repeat, submit."""
