CREATE TABLE visits (at timestamp NOT NULL, path text NOT NULL);
