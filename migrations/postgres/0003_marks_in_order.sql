-- PostgreSQL's tables grow at their end, and its indexes point there: nothing to change.
SELECT 1;
