/* libcurl's own start-up, once for the process. Private to this module. @thread any */
#ifndef CONTROL_CURL_ONCE_H
#define CONTROL_CURL_ONCE_H

void curl_init_once(void);

#endif
