"""From records to a report, in seconds and from files alone: home of pandas and matplotlib, without torch or ray.

frame    the records as one tidy table         tables   tables as data, and as Markdown and CSV
select   who won on dev                        curves   few-shot curves
stats    arrays in, numbers out                report   all of it, with the verdict in words
"""
