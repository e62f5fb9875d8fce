public import ModelFiles

extension ModelSource {
  /// Every file that the model was read from, tokenizer included: what an output must not touch.
  public var inputFiles: [String] { files + tokenizerFiles.map(\.path) }
}
