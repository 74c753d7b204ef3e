GRANT :"owner" TO crossfade_apply;
