package connect

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"langkeep/agent/paths"
)

// maxLinks bounds a chain of symbolic links, as on Linux.
const maxLinks = 40

// follow resolves a path's symbolic links, also if the file, or a folder on the way,
// does not exist yet: a link into a folder of dotfiles is written through.
func follow(path string, links int) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	if links == 0 || path == filepath.Dir(path) {
		return "", errors.New("its symbolic links lead nowhere")
	}
	dir, err := follow(filepath.Dir(path), links-1)
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, filepath.Base(path))
	target, err := os.Readlink(path)
	if err != nil {
		return path, nil // no link: the path itself is missing
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(dir, target)
	}
	return follow(target, links-1)
}

// makeFolders makes a folder and those that it is in. made are the new ones, the
// innermost first; after an error there are none.
func makeFolders(dir string) (made []string, err error) {
	made = missingFolders(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		removeFolders(made)
		return nil, err
	}
	return made, nil
}

// missingFolders are a folder and those that it is in, as far as they are missing, the
// innermost first.
func missingFolders(dir string) (missing []string) {
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, dir)
	}
	return missing
}

// foldersBetween are a folder and those that it is in, up to the outermost; none if it
// is not in that one.
func foldersBetween(dir, outermost string) (all []string) {
	for ; len(dir) >= len(outermost); dir = filepath.Dir(dir) {
		all = append(all, dir)
		if dir == outermost {
			return all
		}
	}
	return nil
}

// removeFolders removes folders that makeFolders made, unless they hold other files by
// now.
func removeFolders(made []string) {
	for _, dir := range made {
		_ = os.Remove(dir)
	}
}

// writeFile writes a file's content and mode. It replaces the file with a new one, so
// that a crash leaves the old or the new file. Where it can't, or must not, it
// overwrites the file itself.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	_, err := os.Stat(path)
	exists := err == nil
	if exists && hardLinks(path) > 1 {
		return overwrite(path, content, mode)
	}
	err = paths.WriteFile(path, content)
	if exists && irreplaceable(err) {
		return overwrite(path, content, mode)
	}
	if err != nil || mode == 0o600 {
		return err
	}
	return os.Chmod(path, mode)
}

// irreplaceable tells whether WriteFile failed because the file can't be replaced,
// rather than because of the disk: something is mounted on the file, or its folder
// can't be written.
func irreplaceable(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)
}

// overwrite writes into an existing file. After an error it restores the old content,
// as far as the disk allows.
func overwrite(path string, content []byte, mode fs.FileMode) (err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	before, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	was := info.Mode().Perm()
	chmod := func(from, to fs.FileMode) error {
		if from == to {
			return nil
		}
		return os.Chmod(path, to) // on Windows a File has none
	}
	// Close the file to others before it gets a secret, and open it after the secret
	// has gone.
	if err := chmod(was, was&mode); err != nil {
		return err
	}
	err = rewrite(f, before, content)
	if err == nil {
		err = chmod(was&mode, mode)
	}
	if err != nil {
		return errors.Join(err, rewrite(f, content, before), chmod(was&mode, was))
	}
	return nil
}

// rewrite replaces one content with another. It writes the part that makes the file
// longer first: if the disk is full, the old content is still whole then.
func rewrite(f *os.File, from, to []byte) error {
	shared := min(len(from), len(to))
	if _, err := f.WriteAt(to[shared:], int64(shared)); err != nil {
		return errors.Join(err, f.Truncate(int64(len(from))))
	}
	if _, err := f.WriteAt(to[:shared], 0); err != nil {
		return err
	}
	if err := f.Truncate(int64(len(to))); err != nil {
		return err
	}
	return f.Sync()
}
