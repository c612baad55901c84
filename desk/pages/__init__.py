"""The desk's own pages, inside the admin: what a table browser does badly. Each is a door that asks rooms and shows."""
