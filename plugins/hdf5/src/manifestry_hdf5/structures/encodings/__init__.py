"""What is written into other structures: selections and references (specification, chapter VIII).

=====================  =================================================  ==========
`dataspace_selection`  which elements of a dataset are meant              VIII.B
`selected_elements`    those elements, given the shape of the dataset
`references`           what an element of a reference type points at      VIII.C
=====================  =================================================  ==========
"""
