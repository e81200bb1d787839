"""From records to a report, in seconds and from files alone: home of pandas, matplotlib and jinja2, no torch, no ray.

read      sources        the inputs of a report            frame         the records as one tidy table
compute   stats          arrays in, numbers out            compare       which tests, over which family
          cautions       what the scores depend on         search_gain   what searching brought, on test
          recipes        what a search across methods chose
          leave_one_out  what each example adds to a score
          across_targets ranks, and tests over targets
          compute        all of it: sources -> `numbers.Numbers`
between   numbers        what the sections of a report share, as one tree
          section        what a section is: numbers, words, tables, figures, as blocks in the order of reading
          sections       the sections, one module each, and their order
          exhibit_page   a table or figure of a paper, which a report opens with
write     table          a table as data, how cells print  markdown, latex, html, notebook
          tables         what the tables share             figures, heatmap
          phrases        what the sentences share          report        compute, write, draw
"""
