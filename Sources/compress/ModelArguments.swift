internal import ArgumentParser
internal import Compression
internal import ModelFiles
internal import Models
internal import TensorCore

/// The model and how it is opened: shared by all commands that read one.
struct ModelArguments: ParsableArguments {
  @Argument(
    help: "A checkpoint (PyTorch, safetensors, GGUF, llama2.c), a Hugging Face folder, or an artifact.")
  var model: String

  @Option(help: "A tokenizer file to use instead of the one beside the model.")
  var tokenizer: String?

  /// The model in canonical terms.
  func checkpoint() throws -> Checkpoint {
    try Checkpoint.load(try ModelFiles.open(model, tokenizer: tokenizer))
  }
}

/// How a command works and talks: shared by all commands.
struct CommonArguments: ParsableArguments {
  @Option(
    name: [.short, .long], help: "Threads to use (default: all processors). Results do not depend on it.")
  var threads: Int?

  @Flag(name: [.short, .long], help: "Print results and errors only.")
  var quiet = false

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads must be from 1 to 1024.")
    }
  }

  /// Applies the settings that hold for the whole process.
  func apply() {
    if let threads { Parallel.threadCount = threads }
  }
}
