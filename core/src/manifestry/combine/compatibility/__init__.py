"""What has to agree for the arrays of several sources to be one, and what is made to agree.

==============  ===========================================================================
`differences`   whether the bytes of two arrays mean the same
`fixed_arrays`  arrays without the combined dimension: the same in every source, or refused
`rounding`      whether values differ by rounding only
`harmonising`   small arrays encoded again as the first source stores them
`times`         CF times in another unit or from another epoch
`meaning`       arrays that give others their meaning: coordinates, grid mappings, bounds
==============  ===========================================================================
"""
