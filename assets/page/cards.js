// The cards of all profiles, by name. They are here so that a part of the page can look up
// what another has made without importing it.

export const cards = new Map();
