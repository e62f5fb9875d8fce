internal import ArgumentParser
internal import Compression
internal import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The program: `compress --int4 MODEL`, and the subcommands around it.
@main
struct Compress: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "compress",
    abstract: "Makes a model smaller, proves what it cost, and packs it for shipping.",
    discussion: """
      EXAMPLES
        compress --int4 model.bin                 quantize, evaluate, report, pack
        compress --int8 ./hf-folder -o out        … a Hugging Face folder, into out/
        compress --recipe recipe.yaml model.gguf  several stages, each evaluated
        compress inspect model.safetensors        what is in a file
        compress generate out/1-int8/model.gguf.zst -p "Once upon a time"

      EXIT CODES
        0 done   2 a quality gate failed   64 usage   65 bad model or recipe   74 input/output   1 anything else
      """,
    version: "compress \(toolVersion)",
    subcommands: [
      RunCommand.self, InspectCommand.self, EvalCommand.self, BenchCommand.self, GenerateCommand.self,
      ConvertCommand.self, UnpackCommand.self, VerifyCommand.self, CompareCommand.self,
    ],
    defaultSubcommand: RunCommand.self)

  static func main() {
    // Writes to a closed pipe fail instead of killing the program: what it was making is cleaned up or finished.
    signal(SIGPIPE, SIG_IGN)
    var command: any ParsableCommand
    do { command = try parseAsRoot() } catch { exit(withError: error) }
    do { try command.run() } catch {
      // When files vanish because the program is being stopped, that is no error to report.
      Unfinished.waitWhileStopping()
      end(with: error)
    }
  }

  private static func end(with error: any Error) -> Never {
    if let failure = JobError(error) {
      Terminal.error("compress: \(Terminal.oneLine(failure.description))\n")
      exit(withError: ExitCode(failure.kind.rawValue))
    }
    // Help, version and usage errors are the argument parser's own.
    guard !(error is ExitCode), exitCode(for: error) == .failure else { exit(withError: error) }
    Terminal.error("compress: \(Terminal.oneLine("\(error)"))\n")
    exit(withError: ExitCode(JobError.Kind.other.rawValue))
  }
}
