"""What all three packages need: errors, files, locks, processes, words. It imports nothing else of ours."""
