"""Whether there is anything to learn from the screens, before anything is trained."""
