/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef UPLOAD_EXAMPLE_H
#define UPLOAD_EXAMPLE_H

/* Three files: five bytes, none, one that the device cannot read. */
#define UPLOAD_EXAMPLE                                                         \
	"0000000b2f2e622f312f68656c6c6f"                                       \
	"00000036552f536e617073686f742f32642f32646562643839633038396337366161" \
	"313230333134396365656434643763613462623639326166"                     \
	"000000060c68656c6c6f"                                                 \
	"0000000100"                                                           \
	"0000000b2f2e622f312f656d707479"                                       \
	"0000000f552f536e617073686f742f30302f78"                               \
	"0000000100"                                                           \
	"000000092f2e622f312f626164"                                           \
	"0000000f552f536e617073686f742f30302f79"                               \
	"000000180b4f7065726174696f6e206e6f74207065726d6974746564"             \
	"00000000"

#endif
