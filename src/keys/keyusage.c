/* placeholder of this branch, replaced below */
#include "postgres.h"
#include "keys/keyusage.h"
void
MtKeyUsageInit(void)
{
}
void
MtKeyUsageAdd(int64 key, uint32 uses)
{
}
int64
MtKeyUsageOf(int64 key)
{
	return 0;
}
