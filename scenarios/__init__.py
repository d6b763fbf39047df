"""What to try: studies, the runs they expand into, and the folders their results stand in."""
