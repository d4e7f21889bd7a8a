"""What has to agree for the arrays of several sources to be one, and what is made to agree."""
