"""The shop's guides for those who call it: chapters, the code they show, and what to do about each error."""
