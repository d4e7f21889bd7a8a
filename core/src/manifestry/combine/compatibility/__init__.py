"""What has to agree for the arrays of several sources to be one, and what is made to agree.

================  ============================================================================
`differences`     whether the bytes of two arrays mean the same
`spellings`       attributes that are written differently and mean the same
`places`          the same place but for noise, and tiles that adjoin
`decoded`         whether numbers that are encoded differently are the same
`ranges`          ranges that sources state of themselves, as those of the whole
`rounding`        whether values differ by rounding only
`fixed_arrays`    arrays without the combined dimension: the same in every source, or refused
`times`           what the numbers of CF times count; the same times in another unit or type
`common_times`    times of several sources in one unit and type that hold all
`time_variables`  time coordinates and their bounds, made to agree
`harmonising`     small arrays encoded again as the first source stores them
`meaning`         arrays that give others their meaning: coordinates, grid mappings, bounds
================  ============================================================================
"""
