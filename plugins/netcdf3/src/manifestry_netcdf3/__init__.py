"""netCDF classic parser."""
