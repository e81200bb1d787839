"""From records to a report, in seconds and from files alone: home of pandas, matplotlib and jinja2, no torch, no ray.

compute   frame          the records as one tidy table     answer_shares  how often which class was answered
          stats          arrays in, numbers out            label_maps     what a source's classes stand for
          compare        which tests, over which family    sentences      what the numbers say in words
          curves         few-shot curves                   task_weights   which task weighed how much, and when
          cautions       what the scores depend on         search_gain    what searching brought, on test
          slices         dev along each searched setting   recipes        what a search across methods chose
          compute        all of it: records -> `numbers.Numbers`
between   numbers        everything that a report says, as one tree
          exhibit_page   a table or figure of a paper, which a report opens with
write     table          a table as data, how cells print  markdown, latex, html
          tables         what fills the report's tables    figures, heatmap
          report         compute, write, draw
"""
