internal import Evaluation
internal import Foundation
internal import ModelFiles
internal import Models
internal import TensorCore

/// The baseline's logits of an `eval` that names a file for them: read when they fit, made and written when they do not.
struct ReferenceSource {
  /// The file.
  let path: String
  /// The model to make it from; nil when there is none, so that the file must fit.
  let baseline: Checkpoint?
  let observer: JobObserver

  /// The logits on `chunks` of a model with `vocabulary` logits.
  ///
  /// - Throws: ``JobError`` or ``EvaluationError`` when the file does not fit and there is no model to make it from.
  func cache(for chunks: EvaluationChunks, vocabulary: Int) throws -> ReferenceCache {
    let key = ReferenceKey(
      modelName: baseline?.name ?? "", files: try hashes(), vocabulary: vocabulary, chunks: chunks)
    guard FileManager.default.fileExists(atPath: path) else {
      guard baseline != nil else {
        throw JobError(.badInput, "\(path): there is no such file; name the model with --baseline to make it")
      }
      return try make(key, chunks)
    }
    do {
      let found = try ReferenceFile.read(path)
      guard let difference = key.difference(from: found.key, ignoringModel: baseline == nil) else {
        return found
      }
      throw EvaluationError(.mismatch, path, "the reference does not fit: \(difference)")
    } catch let error as EvaluationError {
      // Only what is a reference, damaged or of something else, may be replaced: not just any file.
      guard baseline != nil, ReferenceFile.isReference(path) else { throw error }
      observer(.note("\(error.description); it is made again"))
      return try make(key, chunks)
    }
  }

  private func hashes() throws -> [String] {
    try (baseline?.source.files ?? []).map { try FileHash.sha256(ofFile: $0) }
  }

  private func make(_ key: ReferenceKey, _ chunks: EvaluationChunks) throws -> ReferenceCache {
    guard let baseline, case .language(let model) = try baseline.makeModel() else {
      throw JobError(.badInput, "\(path): the baseline is no language model")
    }
    let observer = observer
    let cache = try LanguageEvaluation.record(
      model, key: key, shape: ReferenceFile.shape(vocabulary: key.vocabulary), chunks: chunks
    ) { observer(.progress(step: "baseline", fraction: Double($0.done) / Double(max(1, $0.total)))) }.cache
    try ReferenceFile.write(cache, to: path)
    return cache
  }
}
