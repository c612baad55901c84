"""The switchboard: settings, ways in, and the two commands. It decides nothing about the business."""
