"""From the bytes of an uploaded sheet to rows and image links, or to a list of everything that is wrong with it.

Pure: knows neither Flask nor the database. `read_sheet` in `ingest.sheets.intake` is the way in.
"""
