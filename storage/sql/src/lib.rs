//! PostgreSQL, MySQL, MariaDB and SQLite as a table and as blobs.
