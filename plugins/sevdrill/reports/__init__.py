"""Reports: made from the timeline alone, so that an old or a killed run has them, too."""
