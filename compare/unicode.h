/* Unicode's normal form of a text. Wraps utf8proc. Private to this module. @thread any */
#ifndef COMPARE_UNICODE_H
#define COMPARE_UNICODE_H

/* NFC of a text in UTF-8 (Unicode Standard Annex #15); malloc'd. NULL: it is not UTF-8, or there is no memory for it. */
char *unicode_nfc(const char *text);

#endif
