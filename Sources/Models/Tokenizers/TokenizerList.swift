public import ModelFiles
import TensorCore

/// Makes tokenizers from what a model source carries.
public enum TokenizerList {
  /// The tokenizer of `source`, or nil when it carries none.
  ///
  /// A GGUF file's own vocabulary comes first; of files, `tokenizer.json` comes before `tokenizer.model`, `vocab.txt` and
  /// llama2.c's `tokenizer.bin`. `tokenizer_config.json`, `config.json` and `generation_config.json` name special tokens.
  ///
  /// - Throws: ``TokenizerError`` when a tokenizer is there and unreadable or of an unknown kind.
  public static func tokenizer(of source: ModelSource) throws -> (any Tokenizer)? {
    // The readers below look into the files' memory, which the source keeps.
    try withExtendedLifetime(source) { try read(source) }
  }

  private static func read(_ source: ModelSource) throws -> (any Tokenizer)? {
    if let tokenizer = try tokenizer(ofGGUF: source.metadata, path: source.path) { return tokenizer }
    let configuration = try configuration(of: source)
    func file(_ kind: TokenizerFile.Kind) -> TokenizerFile? {
      source.tokenizerFiles.first { $0.kind == kind }
    }
    if let file = file(.json) {
      let json = try parse(file)
      do {
        return try PipelineTokenizer(
          PipelineDescription(json: json, path: file.path), configuration: configuration, path: file.path)
      } catch {
        // A SentencePiece model beside it says the same in a form that has no components to be unknown.
        guard self.file(.sentencePiece, of: source) != nil else { throw error }
      }
    }
    if let file = file(.sentencePiece) {
      let hasConfiguration = self.file(.configuration, of: source) != nil
      return try SentencePieceTokenizer.fromFile(
        try SentencePieceModel(file.contents, path: file.path),
        configuration: hasConfiguration ? configuration : nil,
        path: file.path)
    }
    if let file = file(.wordPiece) {
      let description = try BertDescription.description(file.contents.buffer, configuration, path: file.path)
      var configuration = configuration
      configuration.unknown = configuration.unknown ?? "[UNK]"
      configuration.classifier = configuration.classifier ?? "[CLS]"
      configuration.separator = configuration.separator ?? "[SEP]"
      configuration.padding = configuration.padding ?? "[PAD]"
      configuration.mask = configuration.mask ?? "[MASK]"
      return try PipelineTokenizer(description, configuration: configuration, path: file.path)
    }
    if let file = file(.llama2c) { return try Llama2cTokenizer(file.contents, path: file.path) }
    return nil
  }

  /// The tokenizer that GGUF metadata describe, or nil when they describe none.
  ///
  /// - Throws: ``TokenizerError`` for a vocabulary that contradicts itself or is of an unknown kind.
  public static func tokenizer(ofGGUF metadata: [GGUFEntry], path: String) throws -> (any Tokenizer)? {
    let entries = GGUFTokenizerEntries(metadata, path: path)
    guard let model = try entries.string(GGUFTokenizerKey.model) else { return nil }
    if let own = try entries.ownSettings() {
      switch own["type"]?.stringValue {
      case "pipeline": return try PipelineTokenizer.fromGGUF(entries, own: own)
      case "llama2c": return try Llama2cTokenizer.fromGGUF(entries)
      default: break
      }
    }
    switch model {
    case "llama": return try SentencePieceTokenizer.fromGGUF(entries, algorithm: .bytePair)
    case "t5": return try SentencePieceTokenizer.fromGGUF(entries, algorithm: .unigram)
    case "gpt2": return try PipelineTokenizer.bytePairFromGGUF(entries)
    case "bert": return try PipelineTokenizer.bertFromGGUF(entries)
    case "none", "no_vocab": return nil
    default: throw TokenizerError(path: path, "the tokenizer model '\(model)' is not supported")
    }
  }

  private static func file(_ kind: TokenizerFile.Kind, of source: ModelSource) -> TokenizerFile? {
    source.tokenizerFiles.first { $0.kind == kind }
  }

  private static func parse(_ file: TokenizerFile) throws(TokenizerError) -> JSONValue {
    do throws(JSONError) {
      return try JSONValue(parsing: file.contents.buffer)
    } catch {
      throw TokenizerError(path: file.path, "no JSON: \(error)")
    }
  }

  /// What the configuration files say about special tokens.
  private static func configuration(of source: ModelSource) throws(TokenizerError) -> TokenizerConfiguration {
    var documents: [TokenizerFile.Kind: JSONValue] = [:]
    for file in source.tokenizerFiles where file.kind == .configuration || file.kind == .specialTokens {
      documents[file.kind] = try parse(file)
    }
    var configuration = TokenizerConfiguration(
      documents[.configuration], specialTokens: documents[.specialTokens])
    configuration.readIDs(config: source.configuration, generation: source.generation)
    return configuration
  }
}
