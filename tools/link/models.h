/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef MODELS_H
#define MODELS_H

/*
 * models_name - what a model is called: "iPhone 13" for "iPhone14,5"
 *
 * Source: public lists of Apple's model identifiers. NULL if it is not known;
 * static otherwise.
 */
const char *models_name(const char *product_type);

#endif
