internal import ArgumentParser
internal import Compression
internal import ModelFiles

/// What is in a file.
struct InspectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show layers, formats, sizes, configuration and tokenizer of any model or artifact.",
    discussion: """
      EXAMPLES
        compress inspect model.safetensors
        compress inspect Reports/books-int4/1-int4/books.gguf.zst --json
      """)

  @OptionGroup var source: ModelArguments

  @Flag(help: "List every tensor instead of the tree of layers.")
  var tensors = false

  @Flag(help: "Print JSON.")
  var json = false

  func run() throws {
    let inspection = Inspection(try source.checkpoint())
    Terminal.output(
      json
        ? inspection.json.text(indent: 2) + "\n" : Terminal.printable(inspection.text(listsTensors: tensors)))
  }
}
