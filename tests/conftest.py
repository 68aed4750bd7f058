"""What pytest is to leave alone here."""

# Broken on purpose.
collect_ignore = ["corpus"]
