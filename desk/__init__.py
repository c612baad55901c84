"""The operator's pages: what Django admin shows across apps, and the pages a table browser does badly."""
