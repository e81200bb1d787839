"""From records to a report, in seconds and from files alone: home of pandas, matplotlib and jinja2, no torch, no ray.

compute   frame    the records as one tidy table         words   what the numbers say, as sentences
          select   who won on dev                        compute all of it: records -> `numbers.Numbers`
          stats    arrays in, numbers out
          compare  which tests, over which family
          curves   few-shot curves
between   numbers  everything that a report says, as one tree
write     table    a table as data, how cells print      markdown, latex, html
          tables   what fills the report's tables        figures
          report   compute, write, draw
"""
