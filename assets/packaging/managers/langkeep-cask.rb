# Homebrew's cask, of the app with its tray.
cask "langkeep" do
  version "@VERSION@"
  sha256 "@SHA256 langkeep_@VERSION@_macos.dmg@"

  url "@URL@/langkeep_@VERSION@_macos.dmg"
  name "Langkeep"
  desc "Keeps you signed in to Langflow"
  homepage "@HOME@"

  depends_on macos: ">= :monterey"

  app "Langkeep.app"
  binary "#{appdir}/Langkeep.app/Contents/MacOS/langkeep"

  uninstall quit: "langkeep"
  zap trash: "~/Library/Application Support/langkeep"
end
