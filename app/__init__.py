"""The lab in a browser. It computes nothing: it starts, stops and resumes runs, and shows what they write.

Layers of the app; an import may only point to the left:

    texts, lessons <- access <- views <- page <- tabs <- ui

texts: the words of the page. lessons: recorded data of the Learn tab. access: who may see, ask for and keep what.
views: from a run to what a panel shows. page: what tabs share: panels, forms, menus. tabs: a file each. ui: the page.
"""
