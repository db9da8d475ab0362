# Homebrew's formula. It is built on the user's computer, since the macOS tray needs cgo.
class Langkeep < Formula
  desc "Keeps you signed in to Langflow"
  homepage "@HOME@"
  url "@URL@/langkeep_@VERSION@_source.tar.gz"
  version "@VERSION@"
  sha256 "@SHA256 langkeep_@VERSION@_source.tar.gz@"
  license "MIT"

  depends_on "go" => :build

  def install
    ENV["CGO_ENABLED"] = OS.mac? ? "1" : "0"
    system "go", "build", *std_go_args(ldflags: "-s -w -X main.version=#{version} -X main.commit=@COMMIT@ -X main.date=@DATE@"), "./cmd/langkeep"
    generate_completions_from_executable(bin/"langkeep", "completion")
    system bin/"langkeep", "man", man1
  end

  service do
    run [opt_bin/"langkeep", "run"]
  end

  test do
    assert_match "langkeep #{version} ", shell_output("#{bin}/langkeep version")
  end
end
