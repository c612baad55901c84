"""What happened: rollups, reports and exports, all of them functions of rows that rooms below wrote."""
