"""The canonical door: one view per endpoint. It translates, and the rooms behind it do the rest."""
