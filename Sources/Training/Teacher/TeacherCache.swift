package import Models

/// Where a teacher's predictions are kept, and how much of them.
package struct TeacherCache: Sendable {
  /// The folder, made when it is not there.
  package var folder: String
  /// The likeliest tokens that are kept of each prediction.
  package var kept: Int
  /// Told how much is written, 0 … 1; an error that it throws ends the training.
  package var progress: @Sendable (Double) throws -> Void = { _ in }

  /// A place.
  package init(folder: String, kept: Int) {
    self.folder = folder
    self.kept = kept
  }

  /// Refuses losses that need all of a prediction.
  func check(_ loss: DistillationLoss) throws {
    guard loss.kind == .forwardKL || !loss.needsTeacher else {
      throw TrainingError(
        "a teacher's likeliest tokens serve the loss forward-kl alone, not \(loss.kind.rawValue); leave the teacher's cache out"
      )
    }
  }

  /// The rows of the documents, written first unless they are there.
  func rows(
    of teacher: Checkpoint, documents: [[Int]], vocabulary: Int, settings: TrainingSettings,
    makeTeacher: () throws -> TeacherModel
  ) throws -> TeacherRows {
    guard teacher.architecture?.vocabularySize == vocabulary else {
      throw TrainingError(
        "the student has a vocabulary of \(vocabulary) tokens, its teacher one of "
          + "\(teacher.architecture?.vocabularySize ?? 0): predictions can only be compared token by token")
    }
    let kept = min(kept, vocabulary)
    let identity = try TeacherRows.identity(
      teacher: teacher, documents: documents, kept: kept, temperature: settings.loss.temperature,
      rounds: settings.rounds)
    return try TeacherRows.rows(
      in: folder, identity: identity, documents: documents, kept: kept,
      temperature: settings.loss.temperature, progress: progress, makeTeacher: makeTeacher)
  }
}

extension TeacherCache: Equatable {
  package static func == (a: TeacherCache, b: TeacherCache) -> Bool {
    a.folder == b.folder && a.kept == b.kept
  }
}
