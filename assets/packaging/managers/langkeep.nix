# pkgs.callPackage ./langkeep.nix { }: the archive's program, which needs no library.
{ lib, stdenvNoCC, fetchurl, installShellFiles }:
let
  archives = {
    x86_64-linux = {
      url = "@URL@/langkeep_@VERSION@_linux_amd64.tar.gz";
      sha256 = "@SHA256 langkeep_@VERSION@_linux_amd64.tar.gz@";
    };
    aarch64-linux = {
      url = "@URL@/langkeep_@VERSION@_linux_arm64.tar.gz";
      sha256 = "@SHA256 langkeep_@VERSION@_linux_arm64.tar.gz@";
    };
  };
in
stdenvNoCC.mkDerivation {
  pname = "langkeep";
  version = "@VERSION@";
  src = fetchurl archives.${stdenvNoCC.hostPlatform.system};
  nativeBuildInputs = [ installShellFiles ];
  installPhase = ''
    install -D langkeep -t $out/bin
    install -Dm644 langkeep.desktop -t $out/share/applications
    install -Dm644 app.svg $out/share/icons/hicolor/scalable/apps/langkeep.svg
    installManPage man/*.1
    installShellCompletion --cmd langkeep --bash completions/langkeep.bash --zsh completions/_langkeep --fish completions/langkeep.fish
  '';
  meta = {
    description = "Keeps you signed in to Langflow";
    homepage = "@HOME@";
    license = lib.licenses.mit;
    platforms = builtins.attrNames archives;
    mainProgram = "langkeep";
  };
}
