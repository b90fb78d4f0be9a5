"""REST APIs: `core`, for who works with the Pipelines, and `edge`, for who looks after a site's models.

The modules here are what both share; core/ and edge/ hold what each is about.
"""
