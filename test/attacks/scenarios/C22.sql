-- Loading a library into the server
-- naive: none, the server refuses
-- ours: refused 42501
-- attack
LOAD 'dblink';
SET session_preload_libraries = 'dblink';
SET local_preload_libraries = 'dblink';
